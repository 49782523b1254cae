{{/*
What a connector promises under its configuration, and what is refused because of it.
*/}}

{{/* Files that hub.yaml names must be in the pod, and secrets not in hub.yaml. Takes value, key, secrets, configMaps. */}}
{{- define "connector-hub.checkFiles" -}}
{{- $in := . -}}
{{- if kindIs "map" .value -}}
{{- range $name, $value := .value -}}
{{- include "connector-hub.checkFiles" (dict "value" $value "key" (printf "%s.%s" $in.key $name) "secrets" $in.secrets "configMaps" $in.configMaps) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "connector-hub.checkFiles" (dict "value" $value "key" (printf "%s.%d" $in.key $index) "secrets" $in.secrets "configMaps" $in.configMaps) -}}
{{- end -}}
{{- else if regexMatch "(?i)^[a-z0-9+.-]+://[^/@]*@" (toString .value) -}}
{{- fail (printf "%s: has a user or a password in it, and everybody who may read ConfigMaps would read it. Take it out, and set usernameFile and passwordFile to keys of a Secret mounted with `secrets`." .key) -}}
{{- else if and (hasSuffix "File" .key) .value -}}
{{- $folder := regexReplaceAll "^/var/(secrets|config)/([^/]+)/[^/]+$" (toString .value) "${2}" -}}
{{- $known := ternary .configMaps .secrets (hasPrefix "/var/config/" (toString .value)) -}}
{{- if not (hasKey $known $folder) -}}
{{- fail (printf "%s: %s is not in the pod. Mount the Secret that has it with `secrets: { <folder>: <Secret> }` and write /var/secrets/<folder>/<key>; or a ConfigMap with `configMaps`, at /var/config/<folder>/<key>." .key (toString .value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What a connector's configuration means for its pods; the hub's own manifests say the same, and a test compares.
.sharing: none; or how its replicas divide the events: broker, caller, identity (each needs a name that it keeps). .letters:
broker, sink (hub.deadLetters) or store, with the way out of that. .inbox: accepted events are on the disk. .port: where it is
called; 0: it is not.
*/}}
{{- define "connector-hub.terms" -}}
{{- $config := .config -}}
{{- $sharing := "broker" -}}
{{- $letters := "store" -}}
{{- $otherwise := "" -}}
{{- $port := 0 -}}
{{- $inbox := false -}}
{{- $listen := $config.listen | default dict -}}
{{- if eq .type "kafka" -}}
{{- if ne ($config.deadLetters | default "topic") "hub" }}{{ $letters = "broker" }}{{ end -}}
{{- $otherwise = "config.deadLetters: topic, which is Kafka's own place for them" -}}
{{- else if eq .type "rabbitmq" -}}
{{- if $config.deadLetterExchange }}{{ $letters = "broker" }}{{ end -}}
{{- $otherwise = "config.deadLetterExchange to an exchange, which is RabbitMQ's own place for them" -}}
{{- else if eq .type "sqs" -}}
{{- if eq ($config.deadLetters | default "auto") "queue" }}{{ $letters = "broker" }}{{ end -}}
{{- $otherwise = "config.deadLetters: queue, where every queue has a redrive policy" -}}
{{- else if eq .type "nats" -}}
{{- if and (eq ($config.layer | default "jetstream") "core") (hasKey $config "queueGroup") (has $config.queueGroup (list "none" "")) }}{{ $sharing = "none" }}{{ end -}}
{{- else if eq .type "mqtt" -}}
{{- $sharing = ternary "identity" "none" (not (empty $config.sharedGroup)) -}}
{{- else if eq .type "minio" -}}
{{- if eq ($config.receive | default "webhook") "listen" }}{{ $sharing = "none" }}{{ else }}{{ $port = $listen.port | default 8091 }}{{ $inbox = eq ($config.acknowledge | default "settled") "stored" }}{{ end -}}
{{- else if eq .type "cron" -}}
{{- $sharing = "none" -}}
{{- else if eq .type "webhook" -}}
{{- $sharing = "caller" -}}
{{- $port = $listen.port | default 8090 -}}
{{- $inbox = true -}}
{{- end -}}
{{- $sink := .hub.deadLetters | default dict -}}
{{- if and (eq $letters "store") (or $sink.function $sink.connector) }}{{ $letters = "sink" }}{{ end -}}
{{- $_ := set . "terms" (dict "sharing" $sharing "letters" $letters "otherwise" $otherwise "inbox" $inbox "port" (int $port)) -}}
{{- end -}}

{{/* Refuses names that Kubernetes, or another connector, would stumble over. */}}
{{- define "connector-hub.checkNames" -}}
{{- $at := printf "connectors.%s" .name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .fullname) -}}
{{- fail (printf "%s: what belongs to it would be called %s, and Kubernetes takes lower-case letters, digits and -, beginning with a letter. Set fullnameOverride." $at .fullname) -}}
{{- end -}}
{{- range $suffix, $makes := dict "scaler" .entry.autoscaling.enabled "hooks" (gt .terms.port 0) -}}
{{- $other := printf "%s-%s" $.name $suffix -}}
{{- if and $makes (hasKey $.root.Values.connectors $other) -}}
{{- fail (printf "connectors.%s: must be another name: what %s makes is called that, too." $other $.name) -}}
{{- end -}}
{{- end -}}
{{- range $label := keys (include "connector-hub.selector" . | fromYaml) | sortAlpha -}}
{{- if hasKey ($.entry.podLabels | default dict) $label -}}
{{- fail (printf "%s.podLabels: %s is the chart's, whose selectors go by it. Remove it." $at $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A StatefulSet keeps the claim it was made with, and the API server refuses another without the way out. Seen only where helm
asks a cluster.
*/}}
{{- define "connector-hub.checkClaim" -}}
{{- $there := lookup "apps/v1" "StatefulSet" .root.Release.Namespace .fullname -}}
{{- if and $there .stateful -}}
{{- $was := "none" -}}
{{- $claim := .entry.persistence -}}
{{- $size := $claim.size -}}
{{- range dig "spec" "volumeClaimTemplates" list $there -}}
{{- $stored := .spec.resources.requests.storage -}}
{{- $was = printf "%s, %s, %s" $stored (first .spec.accessModes) (.spec.storageClassName | default "default class") -}}
{{- /* Kubernetes writes sizes its own way: 1024Mi as 1Gi. */ -}}
{{- if eq (include "connector-hub.bytes" $size) (include "connector-hub.bytes" $stored) }}{{ $size = $stored }}{{ end -}}
{{- end -}}
{{- $now := printf "%s, %s, %s" $size $claim.accessMode ($claim.storageClass | default "default class") -}}
{{- if or (not $claim.enabled) $claim.existingClaim }}{{ $now = "none" }}{{ end -}}
{{- if ne $was $now -}}
{{- fail (printf "connectors.%s.persistence: the StatefulSet claims volumes of another kind (%s; values: %s), which Kubernetes lets nobody change. Delete it without its pods, and upgrade again: kubectl -n %s delete statefulset %s --cascade=orphan. Claims that are there stay as they are." .name $was $now .root.Release.Namespace .fullname) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty where some connector has replicas that take turns. */}}
{{- define "connector-hub.isLed" -}}
{{- $root := . -}}
{{- range $name, $entry := .Values.connectors -}}
{{- if ternary $entry.leaderElection $root.Values.common.leaderElection (hasKey $entry "leaderElection") }}{{ $name }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Refuses what could not keep its promise in a cluster. */}}
{{- define "connector-hub.check" -}}
{{- $at := printf "connectors.%s" .name -}}
{{- if has (first (splitList "-" .name)) (list "gateway" "kubernetes" "defaults" "limits" "dead" "leader" "scaler" "admin" "log") -}}
{{- fail (printf "%s: must be another name: HUB_%s_… in the environment are keys of the hub itself." $at (upper (first (splitList "-" .name)))) -}}
{{- end -}}
{{- include "connector-hub.checkNames" . -}}
{{- if eq .terms.port 8081 -}}
{{- fail (printf "%s.config.listen.port: 8081 is where health and metrics are. Set another; callers see that of hooksService.port." $at) -}}
{{- end -}}
{{- $replicas := ternary .entry.autoscaling.maxReplicas .entry.replicas .entry.autoscaling.enabled | int -}}
{{- $many := ternary (printf "%s.autoscaling.maxReplicas" $at) (printf "%s.replicas" $at) .entry.autoscaling.enabled -}}
{{- if and (eq .terms.letters "store") (not .entry.persistence.enabled) -}}
{{- fail (printf "%s: what no function took is kept in the hub's own store, and the disk of a pod is gone with the pod. Set persistence.enabled: true, which claims a volume, or hub.deadLetters to a function or another connector's topic%s." $at (ternary (printf ", or %s" .terms.otherwise) "" (ne .terms.otherwise ""))) -}}
{{- end -}}
{{- if and .terms.inbox (not .entry.persistence.enabled) -}}
{{- fail (printf "%s: what it has accepted is kept on the disk until functions have it, and the disk of a pod is gone with the pod. Set persistence.enabled: true, which claims a volume." $at) -}}
{{- end -}}
{{- if and (gt $replicas 1) (eq .terms.sharing "none") (not .entry.leaderElection) -}}
{{- fail (printf "%s: is %d, but replicas of this connector do not share: each would invoke the functions. Set leaderElection: true, so that one works and the others stand by%s; or set it to 1." $many $replicas (ternary ", or config.sharedGroup" "" (eq .type "mqtt"))) -}}
{{- end -}}
{{- if and .entry.leaderElection (ne .terms.sharing "none") -}}
{{- fail (printf "%s.leaderElection: replicas of this connector share the events, so that none has to stand by. Remove it." $at) -}}
{{- end -}}
{{- if and (dig "hub" "leader" false (get .root.Values.connectors .name)) (not .entry.leaderElection) -}}
{{- fail (printf "%s.hub.leader: has no effect without leaderElection: true. Set that, or remove it." $at) -}}
{{- end -}}
{{- if and (dig "hub" "leader" false .root.Values.common) (not (include "connector-hub.isLed" .root)) -}}
{{- fail "common.hub.leader: has no effect, no connector has leaderElection: true. Set that, or remove it." -}}
{{- end -}}
{{- if and (gt $replicas 1) (eq .terms.sharing "identity") .config.clientId -}}
{{- fail (printf "%s: is %d, but all of them would be called %s, and each connect disconnects the other. Remove the client id: each is called as its pod then." $many $replicas .config.clientId) -}}
{{- end -}}
{{- if and (gt $replicas 1) .entry.persistence.existingClaim -}}
{{- fail (printf "%s: is %d, but persistence.existingClaim is one volume, and each replica needs its own. Remove existingClaim, or set it to 1." $many $replicas) -}}
{{- end -}}
{{- $isCore := eq (.config.layer | default "jetstream") "core" -}}
{{- if and .entry.autoscaling.enabled (or $isCore (not (has .type (list "kafka" "nats" "rabbitmq" "sqs")))) -}}
{{- fail (printf "%s.autoscaling: %s cannot tell how much waits at its broker. Set autoscaling.enabled: false." $at (ternary "core NATS" .type $isCore)) -}}
{{- end -}}
{{- if and .entry.autoscaling.enabled (gt (int .entry.autoscaling.minReplicas) $replicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas is above maxReplicas, %d. Lower it, or raise the other." $at $replicas) -}}
{{- end -}}
{{- if and .entry.ingress.enabled (not .entry.ingress.host) -}}
{{- fail (printf "%s.ingress.host: is needed: the name under which callers reach it." $at) -}}
{{- end -}}
{{- include "connector-hub.checkFiles" (dict "value" .config "key" (printf "%s.config" $at) "secrets" .secrets "configMaps" .entry.configMaps) -}}
{{- include "connector-hub.checkFiles" (dict "value" .hub "key" (printf "%s.hub" $at) "secrets" .secrets "configMaps" .entry.configMaps) -}}
{{- end -}}
