{{/*
How the gateway shows the front page, a pod of its own: whatever it does, the gateway stays ready. What it said last is kept,
shown where it does not answer, and asked for once a second however many people look.
*/}}
{{- define "platform.frontPage.cache" -}}
proxy_cache_path /tmp/front-page keys_zone=front_page:64k max_size=4m inactive=30d use_temp_path=off;
{{- end }}

{{- define "platform.frontPage.location" -}}
location ~ "^/(?:front-page\.css)?\z" {
    if ($request_method !~ "^(?:GET|HEAD)\z") { return 405; }
    set $front_page front-page.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}; # a variable: looked up when it is asked
    proxy_pass http://$front_page$uri;
    proxy_pass_request_headers off; # it is asked the same, whoever asks
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_connect_timeout 1s;
    proxy_read_timeout 3s;
    proxy_intercept_errors on;
    proxy_cache front_page;
    proxy_cache_key $uri;
    proxy_cache_valid 200 1s;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 3s;
    proxy_cache_use_stale updating error timeout invalid_header http_500 http_503 http_404;
    error_page 400 404 405 413 501 /.error;
    error_page 500 502 503 504 = /.no-front-page;
    add_header Cache-Control no-cache;
    add_header Content-Security-Policy "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    add_header Referrer-Policy no-referrer;
    add_header X-Content-Type-Options nosniff;
}
location = /.no-front-page {
    internal;
    add_header Retry-After 5 always;
    return 503 {{ include "platform.gateway.error" (dict "rule" "busy" "expected" "the page of all models; the models themselves answer under /models/<release>/" "got" "none yet") }};
}
{{- end }}
