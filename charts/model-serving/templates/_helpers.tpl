{{/* Most of these take (dict "root" $ "component" "online"). */}}

{{/* Name of an object: release and component. A release has 40 characters at most (validate/rules.yaml). */}}
{{- define "model-serving.name" -}}
{{ .root.Release.Name }}-{{ .component }}
{{- end }}

{{/* The labels that selectors use; they never change. */}}
{{- define "model-serving.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of a workload's pods: without the chart's version, so that a new chart alone restarts no pod. */}}
{{- define "model-serving.podLabels" -}}
{{ include "model-serving.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Values.model.version | quote }}
app.kubernetes.io/part-of: trifold
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "model-serving.labels" -}}
{{ include "model-serving.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Values.model.version | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: trifold
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Which model it is. Annotations, since a model's name may be any text. Takes $. */}}
{{- define "model-serving.annotations" -}}
{{- with .Values.model -}}
trifold.dev/model: {{ .name | quote }}
trifold.dev/model-version: {{ .version | quote }}
trifold.dev/run-id: {{ .runId | quote }}
trifold.dev/digest: {{ .digest | quote }}
trifold.dev/parity: {{ .parity | quote }}
{{- end }}
{{- end }}

{{/* What people read of it. On objects only that may change without a new pod: words are no reason for one. Takes $. */}}
{{- define "model-serving.texts" -}}
{{- range $name := list "title" "description" }}
{{- with get $.Values.model $name }}
trifold.dev/{{ $name }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The image, by digest where there is one. Takes $. */}}
{{- define "model-serving.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* A NetworkPolicy rule that lets a pod ask the cluster's DNS. */}}
{{- define "model-serving.dns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* A NetworkPolicy peer: the pods of a component of this release. */}}
{{- define "model-serving.peer" -}}
- podSelector:
    matchLabels: {{- include "model-serving.selectorLabels" . | nindent 6 }}
{{- end }}

{{/*
What the exit of a Job's pod says (trifold/exits.py: the numbers are sysexits.h's): a lost node is nobody's fault, refused
input or a wrong setting is the same the next time, a shard that failed in itself leaves the others alone. All else is tried
again. Takes container, and perIndex: whether the Job has shards.
*/}}
{{- define "model-serving.podFailurePolicy" -}}
rules:
  - action: Ignore
    onPodConditions:
      - {type: DisruptionTarget, status: "True"}
  - action: FailJob
    onExitCodes: {containerName: {{ .container }}, operator: In, values: [64, 65, 73, 78]}
  {{- if .perIndex }}
  - action: FailIndex
    onExitCodes: {containerName: {{ .container }}, operator: In, values: [70]}
  {{- end }}
{{- end }}
