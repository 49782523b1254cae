{{- define "connector-hub.services" -}}
{{- $it := . -}}
{{- $entry := $it.entry }}
---
# Health and metrics, of each pod.
apiVersion: v1
kind: Service
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
spec:
  clusterIP: None
  # Metrics of a pod that is not ready are those one needs.
  publishNotReadyAddresses: true
  selector:
    {{- include "connector-hub.selector" $it | nindent 4 }}
  ports:
    - name: metrics
      port: 8081
      targetPort: metrics
{{- if $it.terms.port }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $it.fullname }}-hooks
  namespace: {{ $it.root.Release.Namespace | quote }}
  labels:
    {{- include "connector-hub.labels" $it | nindent 4 }}
  {{- with $entry.hooksService.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $entry.hooksService.type }}
  selector:
    {{- include "connector-hub.selector" $it | nindent 4 }}
  ports:
    - name: hooks
      port: {{ $entry.hooksService.port }}
      targetPort: hooks
{{- if $entry.ingress.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
  {{- with $entry.ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $entry.ingress.className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- with $entry.ingress.tlsSecret }}
  tls:
    - hosts: [{{ $entry.ingress.host | quote }}]
      secretName: {{ . | quote }}
  {{- end }}
  rules:
    - host: {{ $entry.ingress.host | quote }}
      http:
        paths:
          - path: {{ $it.config.path | default (ternary "/minio" "/hooks" (eq $it.type "minio")) | quote }}
            pathType: Prefix
            backend:
              service:
                name: {{ $it.fullname }}-hooks
                port:
                  name: hooks
{{- end }}
{{- end }}
{{- end -}}
