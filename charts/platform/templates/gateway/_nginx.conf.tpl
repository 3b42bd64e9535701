{{/* An answer of the gateway's own, in the form of the releases' (trifold/errors.py). Variables of nginx must be safe in JSON. */}}
{{- define "platform.gateway.error" -}}
'{"errors": [{"row": null, "column": null, "rule": "{{ .rule }}", "expected": "{{ .expected }}", "got": "{{ .got }}"}]}'
{{- end }}

{{/* The gateway's configuration. */}}
{{- define "platform.gateway.config" -}}
{{- $time := .Values.gateway.timeouts }}
{{- $limits := .Values.gateway.limits }}
{{- $name := "[a-z0-9](?:[-a-z0-9]{0,38}[a-z0-9])?" }}
worker_processes 1;
worker_shutdown_timeout {{ $time.answerSeconds }}s;
pid /tmp/nginx.pid;
error_log stderr crit; # a lower level writes request lines down, and personal data may stand in a query

events { worker_connections {{ add (mul 4 $limits.requests) 64 }}; } # two a request; the rest are idle, or still send their headers

http {
    access_log off;
    server_tokens off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;

    client_max_body_size {{ $limits.body }};
    client_body_buffer_size 64k;
    client_header_timeout {{ $time.headerSeconds }}s;
    client_body_timeout {{ $time.bodySeconds }}s;
    send_timeout {{ $time.bodySeconds }}s;
    keepalive_timeout 30s;
    limit_conn_zone $server_port zone=requests:64k; # one counter for all
    limit_conn_status 503;

    # A release is looked up when it is asked for: a new one, or one that moved, needs no reload.
    resolver {{ .Values.gateway.resolver }} valid=2s ipv6=off;
    resolver_timeout 2s;

    # nginx answers 502 for a name that DNS does not have as well as for a pod that does not answer. Without an address, and
    # sooner than the resolver gives up, it is the former.
    map "$upstream_addr $request_time" $absent { default ""; "~^ [01]\." yes; }
    # HTTP/1.0 may come without a Host.
    map $http_host $given_host { default $http_host; "" $host; }
    map $status $error {
        400 {{ include "platform.gateway.error" (dict "rule" "http" "expected" "an HTTP/1.1 request" "got" "what is none") }};
        404 {{ include "platform.gateway.error" (dict "rule" "path" "expected" "/models/<release>/..., a name of at most 40 of a-z, 0-9 and -" "got" "another path") }};
        405 {{ include "platform.gateway.error" (dict "rule" "method" "expected" "a method that the path has" "got" "another") }};
        413 {{ include "platform.gateway.error" (dict "rule" "too_large" "expected" (printf "a body of at most %s" $limits.body) "got" "a larger one") }};
        414 {{ include "platform.gateway.error" (dict "rule" "too_large" "expected" "a request line of at most 8 KB" "got" "a longer one") }};
        431 {{ include "platform.gateway.error" (dict "rule" "too_large" "expected" "header fields of at most 8 KB each" "got" "a longer one, or too many") }};
        501 {{ include "platform.gateway.error" (dict "rule" "http" "expected" "a body sent whole or chunked" "got" "another transfer encoding") }};
        503 {{ include "platform.gateway.error" (dict "rule" "busy" "expected" (printf "at most %v requests at once" $limits.requests) "got" "more") }};
        504 {{ include "platform.gateway.error" (dict "rule" "busy" "expected" (printf "an answer of the release within %v s" $time.answerSeconds) "got" "none") }};
        default {{ include "platform.gateway.error" (dict "rule" "failed" "expected" "an answer" "got" "an error of the gateway") }};
    }
    # A header without a value is left out.
    map $status $retry_after { default ""; 502 5; 503 1; 504 5; }
    {{- if include "platform.frontPage" . }}
    {{ include "platform.frontPage.cache" . }}
    {{- end }}

    server {
        listen 8080 default_server;
        default_type application/json;
        absolute_redirect off; # right behind any host and port
        error_page 400 404 405 413 414 500 501 503 504 505 /.error;
        error_page 494 =431 /.error;
        error_page 502 = /.unreachable;

        {{ if include "platform.frontPage" . }}
        {{- include "platform.frontPage.location" . | nindent 8 | trim }}
        {{- else -}}
        location = / {
            return 200 '{"releases": "/models/<release>/", "example": "curl http://<this host>/models/<release>/model"}\n';
        }
        {{- end }}
        location = /healthz { default_type text/plain; return 200 "ok\n"; }
        location / { return 404; }
        location = /.error {
            internal;
            add_header Retry-After $retry_after always;
            return 400 $error;
        }
        location = /.unreachable {
            internal;
            add_header Retry-After $retry_after always;
            if ($absent) {
                return 404 {{ include "platform.gateway.error" (dict "rule" "path" "expected" "the name of a release" "got" "$release, which no release has") }};
            }
            return 502 {{ include "platform.gateway.error" (dict "rule" "busy" "expected" "a pod of the release that answers" "got" "none") }};
        }

        # $uri, which locations look at, is decoded, without //, /./ and /../, and what goes on is made from it: no spelling
        # is seen one way here and another way there.
        location ~ "(?si)^/models/[^/]+/metrics\b" { return 404; }
        location ~ "^/models/(?<release>{{ $name }})\z" { return 308 /models/$release/$is_args$args; }
        location ~ "(?s)^/models/(?<release>{{ $name }})(?<rest>/.*)\z" {
            limit_conn requests {{ $limits.requests }};
            rewrite ^ $rest break; # and no path in proxy_pass: so nginx escapes it again, and a line break stays %0A
            proxy_pass http://$release-online.{{ .Values.modelsNamespace }}.svc.{{ .Values.clusterDomain }};
            # A connection for each request: one that is kept could meet a pod that has begun to end.
            proxy_http_version 1.1;
            proxy_set_header Connection close;
            proxy_next_upstream off; # a prediction is not asked for twice
            proxy_connect_timeout {{ $time.connectSeconds }}s;
            proxy_send_timeout {{ $time.bodySeconds }}s;
            proxy_read_timeout {{ $time.answerSeconds }}s;
            proxy_max_temp_file_size 0;
            proxy_redirect off;
            # What a client says of itself is not believed.
            proxy_set_header Host $given_host;
            proxy_set_header Forwarded "";
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $given_host;
            proxy_set_header X-Forwarded-Port "";
            proxy_set_header X-Forwarded-Prefix /models/$release;
        }
    }
}
{{- end }}
