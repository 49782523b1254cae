{{/*
From values to what the templates write. Values come in two layers, `common` and the entry; in each of them the keys of the
OpenFaaS charts are translated by files/openfaas.yaml, and then the entry is laid over `common`.
*/}}

{{/* Its two layers as one, translated: sets entry, hub, config, secrets, type and fullname of .it, which has root and name. */}}
{{- define "connector-hub.read" -}}
{{- $it := .it -}}
{{- $root := $it.root -}}
{{- $own := deepCopy (get $root.Values.connectors $it.name) -}}
{{- $table := $root.Files.Get "files/openfaas.yaml" | fromYaml -}}
{{- $_ := set $it "type" $own.type -}}
{{- $_ := set $it "fullname" (printf "%s-%s" (include "connector-hub.fullname" $root) $it.name) -}}
{{- if gt (len $it.fullname) 45 -}}
{{- fail (printf "connectors.%s: what belongs to it would be called %s, which is too long for Kubernetes. Set fullnameOverride, or a shorter name." $it.name $it.fullname) -}}
{{- end -}}
{{- $layers := list -}}
{{- range $at, $layer := dict "common" (deepCopy $root.Values.common) (printf "connectors.%s" $it.name) $own -}}
{{- $into := dict "hub" ($layer.hub | default dict) "config" ($layer.config | default dict) "secrets" ($layer.secrets | default dict) "environment" dict "literals" dict -}}
{{- $rows := ternary $table.all (merge dict $table.all (get $table $it.type)) (eq $at "common") -}}
{{- include "connector-hub.translate" (dict "table" $rows "layer" $layer "into" $into "at" $at) -}}
{{- range $part, $value := $into }}{{ $_ := set $layer $part $value }}{{ end -}}
{{- $layers = append $layers $layer -}}
{{- end -}}
{{- /* One of the two only: the place that the entry names is instead of the one that is common. */ -}}
{{- $letters := (index $layers 1).hub.deadLetters | default dict -}}
{{- $common := (index $layers 0).hub.deadLetters | default dict -}}
{{- if $letters.function }}{{ $_ := set (index $layers 0).hub "deadLetters" (omit $common "connector" "topic") }}{{ end -}}
{{- if $letters.connector }}{{ $_ := set (index $layers 0).hub "deadLetters" (omit $common "function" "mode") }}{{ end -}}
{{- $entry := mergeOverwrite (index $layers 0) (index $layers 1) -}}
{{- $_ := set $it "entry" $entry -}}
{{- range list "hub" "config" "secrets" }}{{ $_ := set $it . (get $entry .) }}{{ end -}}
{{- if $entry.literals -}}
{{- include "connector-hub.mount" (dict "into" $it.secrets "folder" "values" "source" $it.fullname "key" (printf "connectors.%s" $it.name)) -}}
{{- end -}}
{{- end -}}

{{/* The connector whose broker keeps the dead letters of this one stands in its hub.yaml, with its secrets, and does not run. */}}
{{- define "connector-hub.keeper" -}}
{{- $it := .it -}}
{{- $name := dig "deadLetters" "connector" "" $it.hub -}}
{{- if $name -}}
{{- $key := printf "connectors.%s.hub.deadLetters.connector" $it.name -}}
{{- if not (hasKey $it.root.Values.connectors $name) -}}
{{- fail (printf "%s: there is no connector %s. Name one of `connectors`." $key $name) -}}
{{- end -}}
{{- $keeper := dict "root" $it.root "name" $name -}}
{{- include "connector-hub.read" (dict "it" $keeper) -}}
{{- if or (not (has $keeper.type (list "kafka" "nats" "rabbitmq" "sqs"))) (eq ($keeper.config.layer | default "jetstream") "core") -}}
{{- fail (printf "%s: %s does not confirm events as kept, with headers beside them. Name a connector of Kafka, NATS JetStream, RabbitMQ or SQS." $key $name) -}}
{{- end -}}
{{- if ne $name $it.name -}}
{{- range $folder, $secret := $keeper.secrets -}}
{{- if ne (get $it.secrets $folder | default $secret) $secret -}}
{{- fail (printf "%s: %s mounts another Secret at %s. Call one of the two folders otherwise." $key $name $folder) -}}
{{- end -}}
{{- $_ := set $it.secrets $folder $secret -}}
{{- end -}}
{{- $_ := set $it "entry" (merge $it.entry (dict "environment" $keeper.entry.environment "configMaps" $keeper.entry.configMaps)) -}}
{{- $_ := set $it.connectors $name (merge (dict "type" $keeper.type) $keeper.config) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Everything about one connector, into .it, which has root and name. */}}
{{- define "connector-hub.resolve" -}}
{{- $it := .it -}}
{{- include "connector-hub.read" . -}}
{{- $entry := $it.entry -}}
{{- $hub := $it.hub -}}
{{- $_ := set $it "connectors" (dict $it.name (merge (dict "type" $it.type) $it.config)) -}}
{{- include "connector-hub.keeper" . -}}
{{- if and $entry.basicAuth (ne ($hub.discovery | default "gateway") "kubernetes") -}}
{{- $key := printf "connectors.%s.basic_auth" $it.name -}}
{{- include "connector-hub.mount" (dict "into" $it.secrets "folder" "basic-auth" "source" $entry.basicAuthSecret "key" $key) -}}
{{- include "connector-hub.put" (dict "into" $hub "path" "gateway.auth.usernameFile" "value" "/var/secrets/basic-auth/basic-auth-user" "key" $key) -}}
{{- include "connector-hub.put" (dict "into" $hub "path" "gateway.auth.passwordFile" "value" "/var/secrets/basic-auth/basic-auth-password" "key" $key) -}}
{{- end -}}
{{- include "connector-hub.terms" $it -}}
{{- include "connector-hub.check" $it -}}
{{- if $entry.leaderElection -}}
{{- $_ := set $it "lease" (printf "%s-leader" (include "connector-hub.fullname" $it.root)) -}}
{{- $_ := set $hub "leader" (merge (dict "enabled" true "lease" $it.lease) ($hub.leader | default dict)) -}}
{{- else -}}
{{- $_ := unset $hub "leader" -}}
{{- end -}}
{{- $_ := set $it "watches" (hasPrefix "kubernetes" ($hub.discovery | default "gateway")) -}}
{{- $_ := set $it "namespaces" (dig "gateway" "namespaces" list $hub) -}}
{{- $_ := set $it "api" (or $it.watches (not (empty $entry.leaderElection))) -}}
{{- $_ := set $it "stateful" (or $entry.persistence.enabled (eq $it.terms.sharing "identity")) -}}
{{- include "connector-hub.checkClaim" $it -}}
{{- $_ := set $it "yaml" (merge (dict "stateDir" "/var/lib/connector-hub" "admin" (dict "port" 8081) "connectors" $it.connectors) $hub) -}}
{{- $_ := set $it "grace" (add (include "connector-hub.seconds" ($hub.drainTimeout | default "25s") | int) (ternary 5 0 (gt $it.terms.port 0)) 10) -}}
{{- end -}}
