{{/*
Metadata and spec of every pod. A workload says what differs:
  root, component  as everywhere
  command          list
  env              dict of the container's own environment
  resources        Kubernetes resources
  container        more fields of the container, as text: ports, probes
  spec             more fields of the pod, as text: restartPolicy, terminationGracePeriodSeconds
  account          component whose ServiceAccount it uses; its own if left out
*/}}
{{- define "model-serving.pod" -}}
metadata:
  labels: {{- include "model-serving.podLabels" . | nindent 4 }}
  annotations:
    {{- include "model-serving.annotations" .root | nindent 4 }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec: {{- include "model-serving.podSpec" . | nindent 2 }}
{{- end }}

{{/* The spec alone, for a pod that is an object of its own. */}}
{{- define "model-serving.podSpec" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "model-serving.name" (dict "root" .root "component" (.account | default .component)) }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .spec }}
{{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1034
  runAsGroup: 1034
  fsGroup: 1034
  seccompProfile:
    type: RuntimeDefault
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "model-serving.image" .root | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    command: {{- toYaml .command | nindent 6 }}
    env:
      - name: TRIFOLD_DIGEST
        value: {{ $values.model.digest | quote }}
      {{- range $name, $value := .env }}
      - name: {{ $name }}
        value: {{ $value | quote }}
      {{- end }}
      {{- /* More threads add in another order, and the same row gives other bits. */}}
      {{- range list "OMP" "OPENBLAS" "MKL" "BLIS" }}
      - name: {{ . }}_NUM_THREADS
        value: "1"
      {{- end }}
    {{- with .container }}
    {{- . | nindent 4 }}
    {{- end }}
    resources: {{- toYaml .resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - name: tmp
        mountPath: /tmp
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi # the image writes next to nothing; a pod that fills its node's disk is evicted instead
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- toYaml (list .) | nindent 2 }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels: {{- include "model-serving.selectorLabels" $ | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
