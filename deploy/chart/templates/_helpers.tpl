{{- define "gsx.labels" -}}
app.kubernetes.io/name: gitlab-sysbox-executor
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gsx.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "gsx.secret" -}}
{{ .Values.runner.existingSecret | default (printf "%s-runner" .Release.Name) }}
{{- end -}}
