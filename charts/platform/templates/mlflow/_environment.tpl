{{/* How MLflow reaches its database. The address holds no password: libpq takes it from PGPASSWORD, in every process. */}}
{{- define "platform.mlflow.database" -}}
- name: MLFLOW_BACKEND_STORE_URI
{{- if .Values.mlflow.backendStoreUriFrom }}
  valueFrom: {{- toYaml .Values.mlflow.backendStoreUriFrom | nindent 4 }}
{{- else }}
  value: postgresql+psycopg2://mlflow@postgres:5432/mlflow
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.mlflow.existingSecret }}
      key: password
{{- end }}
{{- range $name, $value := dict "MLFLOW_DISABLE_TELEMETRY" "true" "DO_NOT_TRACK" "true" "HOME" "/tmp" "MPLCONFIGDIR" "/tmp/matplotlib" }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Where MLflow puts artifacts, and how it reaches that. */}}
{{- define "platform.mlflow.artifacts" -}}
{{- with .Values.mlflow -}}
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: {{ .artifactsDestination | default "/mlflow/artifacts" }}
{{- with .s3.endpointUrl }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ . }}
{{- end }}
{{- with .s3.region }}
- name: AWS_DEFAULT_REGION
  value: {{ . }}
{{- end }}
{{- with .s3.existingSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.mlflow.s3.existingSecret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Host headers that MLflow answers, and the pages that may write to it; it refuses others (DNS rebinding). */}}
{{- define "platform.mlflow.hosts" -}}
{{- $hosts := list "localhost" "localhost:*" "127.0.0.1" "127.0.0.1:*" -}}
{{- $service := printf "mlflow.%s" .Release.Namespace -}}
{{- range list "mlflow" $service (printf "%s.svc" $service) (printf "%s.svc.%s" $service .Values.clusterDomain) -}}
{{- $hosts = concat $hosts (list . (printf "%s:5000" .)) -}}
{{- end -}}
- name: MLFLOW_SERVER_ALLOWED_HOSTS
  value: {{ concat $hosts .Values.mlflow.allowedHosts | join "," | quote }}
{{- with .Values.mlflow.allowedHosts }}
- name: MLFLOW_SERVER_CORS_ALLOWED_ORIGINS
  value: {{ printf "http://%s,https://%s" (join ",http://" .) (join ",https://" .) | quote }}
{{- end }}
{{- end }}
