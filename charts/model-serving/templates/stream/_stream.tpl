{{/*
What the image is told of the stream (trifold/stream/stream.py reads exactly these keys). Takes $. A $ is written as JSON's
own \u0024, since Kubernetes would make one of two.
*/}}
{{- define "model-serving.stream.told" -}}
{{- $keys := list "topic" "where" "fields" "keep" "sink" "output" "startAt" "maxEvents" "maxDelayMs" "maxEventBytes" "maxRetries" "createTopics" "retentionDays" -}}
{{- $told := dict -}}
{{- range $keys }}{{ $_ := set $told . (get $.Values.stream .) }}{{ end -}}
{{ $told | toRawJson | replace "$" "\\u0024" }}
{{- end }}

{{/* The environment of every pod of the component. Takes $. */}}
{{- define "model-serving.stream.env" -}}
{{- with .Values.stream -}}
TRIFOLD_RELEASE: {{ $.Release.Name | quote }}
TRIFOLD_NAMESPACE: {{ $.Release.Namespace | quote }}
TRIFOLD_STREAM: {{ include "model-serving.stream.told" $ | quote }}
TRIFOLD_KAFKA: {{ .kafka.properties | toRawJson | replace "$" "\\u0024" | quote }}
{{- if .kafka.existingSecret }}
TRIFOLD_KAFKA_SECRET: {{ include "model-serving.stream.secretFolder" $ }}
{{- end }}
{{- if eq .sink "postgres" }}
TRIFOLD_DATABASE_SCHEMA: {{ include "model-serving.stream.schema" $ | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the Secret with Kafka's properties is mounted, a file each. */}}
{{- define "model-serving.stream.secretFolder" -}}
/etc/kafka
{{- end }}

{{/* The same as a mount, for the pod. Takes $. */}}
{{- define "model-serving.stream.mounts" -}}
{{- with .Values.stream.kafka.existingSecret -}}
- {name: kafka, secret: {{ . | quote }}, path: {{ include "model-serving.stream.secretFolder" $ }}}
{{- end }}
{{- end }}

{{/* Where the release's tables are. Takes $. */}}
{{- define "model-serving.stream.schema" -}}
{{ .Values.stream.database.schema | default (.Release.Name | replace "-" "_") }}
{{- end }}

{{/* What the pods take from Secrets. Takes $. */}}
{{- define "model-serving.stream.secrets" -}}
{{- if eq .Values.stream.sink "postgres" -}}
- {name: TRIFOLD_DATABASE_URI, secret: {{ .Values.stream.database.existingSecret | quote }}, key: uri}
{{- end }}
{{- end }}

{{/* The name of its consumer group. Takes $. */}}
{{- define "model-serving.stream.group" -}}
trifold.{{ .Release.Namespace }}.{{ .Release.Name }}
{{- end }}
