{{/* The topics of the values, a line each, as files/kafka-topics.sh reads them. Takes $. */}}
{{- define "platform.kafka.topics" -}}
{{- range $name := keys .Values.kafka.topics | sortAlpha }}
{{- $topic := get $.Values.kafka.topics $name }}
{{ $name }} {{ $topic.partitions | default 1 | int }}
{{- range $key := keys ($topic.config | default dict) | sortAlpha }} {{ $key }}={{ get $topic.config $key }}{{ end }}
{{- end }}
{{- end }}

{{/* Where it is reached inside the cluster. Takes $. */}}
{{- define "platform.kafka.address" -}}
kafka.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:9092
{{- end }}
