{{/* The labels that selectors use; they never change. Takes (dict "root" $ "part" "mlflow"), as all below do, a part's key in the values. */}}
{{- define "platform.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part | kebabcase }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "platform.labels" -}}
{{ include "platform.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: trifold
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Whether there is a front page: the gateway shows it. Takes $; empty is no. */}}
{{- define "platform.frontPage" -}}
{{- if and .Values.gateway.enabled .Values.frontPage.enabled }}yes{{ end }}
{{- end }}

{{/* The image of a part: by digest where there is one. */}}
{{- define "platform.image" -}}
{{- with (get .root.Values .part).image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.root.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* What a Service says beside its port's target. */}}
{{- define "platform.service" -}}
type: {{ .service.type }}
selector: {{- include "platform.selectorLabels" . | nindent 2 }}
ports:
  - name: {{ .name }}
    port: {{ .port }}
    targetPort: {{ .name }}
    {{- with .service.nodePort }}
    nodePort: {{ . }}
    {{- end }}
{{- end }}

{{/* A claim for a part's data. It outlives the release: `helm uninstall` deletes no model. */}}
{{- define "platform.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .part }}
  labels: {{- include "platform.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes: [{{ .storage.accessMode | default "ReadWriteOnce" }}]
  {{- with .storage.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .storage.size }}
{{- end }}

{{/* NetworkPolicy peers: namespaces by name, and address ranges. */}}
{{- define "platform.peers" -}}
{{- range prepend .allow.namespaces .root.Values.modelsNamespace | uniq }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}
{{- range .allow.cidrs }}
- ipBlock:
    cidr: {{ . }}
{{- end }}
{{- end }}

{{/* A NetworkPolicy rule that lets a pod ask the cluster's DNS. */}}
{{- define "platform.dns" -}}
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
