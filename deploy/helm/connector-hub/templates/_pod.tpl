{{/* Of the hub and of its scaler. Takes it, args and ports (lists), variables (list, of this pod alone), called: others call it, volume: the state is on one, labels, selector. */}}
{{- define "connector-hub.pod" -}}
{{- $it := .it -}}
{{- $entry := $it.entry -}}
metadata:
  {{- /* The selectors go by labels of the chart's, which therefore win. */}}
  labels:
    {{- merge (.selector | fromYaml) ($entry.podLabels | default dict) (.labels | fromYaml) | toYaml | nindent 4 }}
  annotations:
    {{- merge (dict "checksum/config" (list $it.yaml $entry.literals | toJson | sha256sum)) ($entry.podAnnotations | default dict) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "connector-hub.account" $it | quote }}
  automountServiceAccountToken: {{ $it.api }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $it.grace }}
  securityContext:
    runAsNonRoot: true
    {{- if not (kindIs "invalid" $entry.runAsUser) }}
    runAsUser: {{ int64 $entry.runAsUser }}
    {{- end }}
    {{- if not (kindIs "invalid" $entry.fsGroup) }}
    fsGroup: {{ int64 $entry.fsGroup }}
    fsGroupChangePolicy: OnRootMismatch
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  {{- with $it.root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $entry.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $entry.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $entry.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $entry.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $entry.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $pods := dict "labelSelector" (dict "matchLabels" ($.selector | fromYaml)) }}
    - {{- toYaml (merge (deepCopy .) $pods) | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    - name: connector-hub
      image: {{ include "connector-hub.image" $it | quote }}
      imagePullPolicy: {{ $it.root.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      {{- $own := .variables | default list -}}
      {{- range $variable, $value := $entry.environment }}{{ $own = append $own (dict "name" $variable "value" $value) }}{{ end }}
      {{- if eq $it.terms.sharing "identity" }}
      {{- $pod := dict "fieldRef" (dict "fieldPath" "metadata.name") }}
      {{- if not $it.config.clientId }}{{ $own = append $own (dict "name" (printf "HUB_%s_CLIENT_ID" (upper $it.name | replace "-" "_")) "valueFrom" $pod) }}{{ end }}
      {{- end }}
      {{- if $entry.leaderElection }}
      {{- range $variable, $path := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" }}
      {{- $own = append $own (dict "name" $variable "valueFrom" (dict "fieldRef" (dict "fieldPath" $path))) }}
      {{- end }}
      {{- end }}
      {{- with concat $own ($entry.env | default list) }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $entry.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- toYaml .ports | nindent 8 }}
      startupProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- if .called }}
      # Until those who call it have heard that it goes.
      lifecycle:
        preStop:
          exec:
            command: [node, -e, 'setTimeout(() => {}, 5000)']
      {{- end }}
      {{- with $entry.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        privileged: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/connector-hub
          readOnly: true
        - name: state
          mountPath: /var/lib/connector-hub
        - name: tmp
          mountPath: /tmp
        {{- range $folder, $secret := $it.secrets }}
        - name: secret-{{ $folder }}
          mountPath: /var/secrets/{{ $folder }}
          readOnly: true
        {{- end }}
        {{- range $folder, $map := $entry.configMaps }}
        - name: config-{{ $folder }}
          mountPath: /var/config/{{ $folder }}
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ $it.fullname }}
    {{- if .volume }}
    {{- with $entry.persistence.existingClaim }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ . | quote }}
    {{- end }}
    {{- else }}
    - name: state
      emptyDir:
        sizeLimit: 256Mi
    {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- range $folder, $secret := $it.secrets }}
    - name: secret-{{ $folder }}
      secret:
        secretName: {{ $secret | quote }}
    {{- end }}
    {{- range $folder, $map := $entry.configMaps }}
    - name: config-{{ $folder }}
      configMap:
        name: {{ $map | quote }}
    {{- end }}
{{- end -}}
