{{- define "connector-hub.workload" -}}
{{- $it := . -}}
{{- $entry := $it.entry }}
{{- $ports := list (dict "name" "metrics" "containerPort" 8081) }}
{{- if $it.terms.port }}{{ $ports = append $ports (dict "name" "hooks" "containerPort" $it.terms.port) }}{{ end }}
---
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" $it.stateful }}
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
spec:
  {{- if not $entry.autoscaling.enabled }}
  replicas: {{ $entry.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "connector-hub.selector" $it | nindent 6 }}
  {{- if $it.stateful }}
  serviceName: {{ $it.fullname }}
  # Each replica is by itself: none waits for another, and none is stopped before the others are back.
  podManagementPolicy: Parallel
  {{- else if and (eq $it.terms.sharing "none") (not $entry.leaderElection) }}
  # Two at a time would both invoke the functions.
  strategy:
    type: Recreate
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  {{- end }}
  template:
    {{- include "connector-hub.pod" (dict "it" $it "args" (list "run" $it.name "-c" "/etc/connector-hub/hub.yaml") "ports" $ports "called" (gt $it.terms.port 0) "volume" $entry.persistence.enabled "labels" (include "connector-hub.labels" $it) "selector" (include "connector-hub.selector" $it)) | nindent 4 }}
  {{- if and $entry.persistence.enabled (not $entry.persistence.existingClaim) }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: state
        labels:
          {{- include "connector-hub.selector" $it | nindent 10 }}
      spec:
        accessModes: [{{ $entry.persistence.accessMode }}]
        {{- with $entry.persistence.storageClass }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources:
          requests:
            storage: {{ $entry.persistence.size }}
  {{- end }}
{{- end -}}
