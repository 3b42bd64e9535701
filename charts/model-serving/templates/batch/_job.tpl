{{/*
Name of a job's CronJob: release and job, cut so that the names that Kubernetes makes of it fit: 52 for a CronJob's own,
and 63 for the host name of the last shard's pod, <CronJob>-<8 digits>-<shard>. A cut one ends in a hash of the whole.
Takes root and job, the job as model-serving.batch.job gives it.
*/}}
{{- define "model-serving.batch.name" -}}
{{- $whole := printf "%s-%s" .root.Release.Name .job.name -}}
{{- $most := min 52 (sub 53 (sub (int .job.shards) 1 | toString | len)) | int -}}
{{- if le (len $whole) $most -}}
{{ $whole }}
{{- else -}}
{{ trunc (int (sub $most 9)) $whole | trimSuffix "-" }}-{{ sha256sum $whole | trunc 8 }}
{{- end }}
{{- end }}

{{/*
A job as JSON: its own values over batch.defaults, those inside source, sink … too. Not by mergeOverwrite, for which an
empty list is none. Takes root and name.
*/}}
{{- define "model-serving.batch.job" -}}
{{- $own := get .root.Values.batch.jobs .name -}}
{{- $job := dict "name" .name -}}
{{- range $key, $default := .root.Values.batch.defaults -}}
{{- $value := ternary (get $own $key) $default (hasKey $own $key) -}}
{{- if kindIs "map" $default -}}
{{- $inner := dict -}}
{{- range $name, $below := $default -}}
{{- $_ := set $inner $name (ternary (get $value $name) $below (hasKey $value $name)) -}}
{{- end -}}
{{- $value = $inner -}}
{{- end -}}
{{- $_ := set $job $key $value -}}
{{- end -}}
{{ $job | toJson }}
{{- end }}

{{/*
What the image is told of a job (trifold/batch/job.py reads exactly these keys). Takes the job. A $ is written as JSON's
own \u0024, since Kubernetes would make one of two: a query may hold $$.
*/}}
{{- define "model-serving.batch.told" -}}
{{- $keys := list "schedule" "timeZone" "key" "keep" "shards" "maxRejectRate" "catchUp" "source" "sink" "report" "retentionDays" -}}
{{- $told := dict "name" .name -}}
{{- range $keys }}{{ $_ := set $told . (get $ .) }}{{ end -}}
{{ $told | toRawJson | replace "$" "\\u0024" }}
{{- end }}

{{/* All jobs of the release as the image is told of them, a JSON list by name. Takes $. */}}
{{- define "model-serving.batch.jobs" -}}
{{- $told := list -}}
{{- range $name := keys .Values.batch.jobs | sortAlpha -}}
{{- $job := include "model-serving.batch.job" (dict "root" $ "name" $name) | fromJson -}}
{{- $told = append $told (include "model-serving.batch.told" $job) -}}
{{- end -}}
[{{ join "," $told }}]
{{- end }}

{{/* The environment of every pod of the component. Takes $. */}}
{{- define "model-serving.batch.env" -}}
{{- with .Values.batch -}}
TRIFOLD_RELEASE: {{ $.Release.Name | quote }}
TRIFOLD_NAMESPACE: {{ $.Release.Namespace | quote }}
TRIFOLD_DATABASE_SCHEMA: {{ include "model-serving.batch.schema" $ | quote }}
MLFLOW_TRACKING_URI: {{ .report.trackingUri | quote }}
MLFLOW_EXPERIMENT_NAME: {{ .report.experiment | default $.Release.Name | quote }}
{{- with .s3.endpointUrl }}
AWS_ENDPOINT_URL: {{ . | quote }}
{{- end }}
{{- with .s3.region }}
AWS_REGION: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* What a pod is told of its Job: its name, which ends in the slot, and what no other Job ever had, for --replace. */}}
{{- define "model-serving.batch.fields" -}}
TRIFOLD_JOB_NAME: metadata.labels['batch.kubernetes.io/job-name']
TRIFOLD_JOB_UID: metadata.labels['batch.kubernetes.io/controller-uid']
{{- end }}

{{/* Where the release's tables are. Takes $. */}}
{{- define "model-serving.batch.schema" -}}
{{ .Values.batch.database.schema | default (.Release.Name | replace "-" "_") }}
{{- end }}

{{/* What they take from Secrets. Takes $. */}}
{{- define "model-serving.batch.secrets" -}}
{{- with .Values.batch -}}
- {name: TRIFOLD_DATABASE_URI, secret: {{ .database.existingSecret | quote }}, key: uri}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- {name: {{ $key }}, secret: {{ $.Values.batch.s3.existingSecret | quote }}, key: {{ $key }}}
{{- end }}
{{- range $key := list "MLFLOW_TRACKING_USERNAME" "MLFLOW_TRACKING_PASSWORD" "MLFLOW_TRACKING_TOKEN" }}
- {name: {{ $key }}, secret: {{ $.Values.batch.report.existingSecret | quote }}, key: {{ $key }}, optional: true}
{{- end }}
{{- end }}
{{- end }}
