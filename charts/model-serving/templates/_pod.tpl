{{/*
Metadata and spec of every pod. A workload says what differs:
  root, component  as everywhere
  command          list
  env              dict of the container's own environment
  fields           dict of environment that Kubernetes fills in from a field of the pod
  secrets          list of environment from Secrets: {name, secret, key, optional}; one without a Secret is left out
  resources        Kubernetes resources
  container        more fields of the container, as text: ports, probes
  spec             more fields of the pod, as text: restartPolicy, terminationGracePeriodSeconds
  account          component whose ServiceAccount it uses; its own if left out
  labels           dict of more labels
  mounts           list of Secrets as folders of files: {name, secret, path}
  tmp              size of /tmp, if not 64Mi
*/}}
{{- define "model-serving.pod" -}}
metadata:
  labels: {{- include "model-serving.podLabels" . | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "model-serving.annotations" .root | nindent 4 }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec: {{- include "model-serving.podSpec" . | nindent 2 }}
{{- end }}

{{/* A pod of `helm test`, as an object of its own. Its name is of component `name`, if not its own. */}}
{{- define "model-serving.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "model-serving.name" (dict "root" .root "component" (.name | default .component)) }}
  labels: {{- include "model-serving.labels" . | nindent 4 }}
    {{- with .root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    {{- include "model-serving.annotations" .root | nindent 4 }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec: {{- include "model-serving.podSpec" (set . "spec" "restartPolicy: Never") | nindent 2 }}
{{- end }}

{{/* The spec alone. */}}
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
      {{- /* Kubernetes fills in $(NAME), and makes one $ of two. */}}
      {{- range $name, $value := .env }}
      - name: {{ $name }}
        value: {{ $value | replace "$" "$$" | quote }}
      {{- end }}
      {{- range $name, $path := .fields }}
      - name: {{ $name }}
        valueFrom:
          fieldRef:
            fieldPath: {{ $path }}
      {{- end }}
      {{- range .secrets }}
      {{- if .secret }}
      - name: {{ .name }}
        valueFrom:
          secretKeyRef:
            name: {{ .secret }}
            key: {{ .key }}
            optional: {{ .optional | default false }}
      {{- end }}
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
      {{- range .mounts }}
      - name: {{ .name }}
        mountPath: {{ .path }}
        readOnly: true
      {{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ .tmp | default "64Mi" }} # the image writes next to nothing; a pod that fills its node's disk is evicted instead
  {{- range .mounts }}
  - name: {{ .name }}
    secret:
      secretName: {{ .secret | quote }}
      defaultMode: 0440
  {{- end }}
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
