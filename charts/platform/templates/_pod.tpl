{{/* What every pod's spec begins with; the workload adds its containers and volumes. */}}
{{- define "platform.pod" -}}
{{- with get .root.Values .part -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1034
  runAsGroup: 1034
  fsGroup: 1034
  fsGroupChangePolicy: OnRootMismatch # else each start walks through all files of a volume
  seccompProfile:
    type: RuntimeDefault
{{- with $.root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* What every container says, init containers too; "of" takes the image of another part. */}}
{{- define "platform.container" -}}
{{- $of := .of | default .part -}}
image: {{ include "platform.image" (dict "root" .root "part" $of) }}
imagePullPolicy: {{ (get .root.Values $of).image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources: {{- toYaml (get .root.Values .part).resources | nindent 2 }}
{{- end }}
