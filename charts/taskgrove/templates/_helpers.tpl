{{/* Names, labels, images, and the groups of workers. What pods have in common is in _pod.tpl. */}}

{{- define "taskgrove.chart" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 30 | trimSuffix "-" -}}
{{- end }}

{{- define "taskgrove.name" -}}
{{- $chart := include "taskgrove.chart" . -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride }}
{{- else if contains $chart .Release.Name -}}{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $chart | trunc 30 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* The labels by which pods of a component are selected. Takes {root, component, group}. */}}
{{- define "taskgrove.selector" -}}
app.kubernetes.io/name: {{ include "taskgrove.chart" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .group }}
taskgrove.dev/group: {{ . }}
{{- end }}
{{- end }}

{{/* All labels. Takes the same. */}}
{{- define "taskgrove.labels" -}}
{{ include "taskgrove.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of pods: none that changes with the version alone. Takes {root, component, group}. */}}
{{- define "taskgrove.podLabels" -}}
{{- toYaml (merge (include "taskgrove.selector" . | fromYaml) (default dict .own) .root.Values.commonLabels) -}}
{{- end }}

{{/* The metadata of an object. Takes {root, component, group, name, annotations, labels}. */}}
{{- define "taskgrove.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "taskgrove.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* An image. Takes {root, image}; what image says of repository, tag and digest goes before the image of all, whose digest is that of its own repository. */}}
{{- define "taskgrove.image" -}}
{{- $image := .image -}}
{{- $all := ternary (omit .root.Values.image "digest") .root.Values.image (not (empty $image.repository)) -}}
{{- if not (or $image.tag $image.digest) }}{{ $image = merge (dict) $image $all }}{{ end -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- default .root.Values.image.repository $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* The groups of workers that there are, with all that they have, by name, as YAML. */}}
{{- define "taskgrove.groups" -}}
{{- $groups := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- $group := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy (default dict $own)) -}}
{{- if $group.enabled -}}{{- $_ := set $groups $name $group -}}{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end }}

{{/* The pools of a group, separated by commas; empty: those of all executors. Takes {group, numbers}; with numbers, name=attempts. */}}
{{- define "taskgrove.pools" -}}
{{- $pools := list -}}
{{- range .group.executors -}}
{{- if not (hasKey $.group.pools .) }}{{ $pools = append $pools . }}{{ end -}}
{{- end -}}
{{- range $pool, $attempts := .group.pools -}}
{{- $pools = append $pools (ternary (printf "%s=%d" $pool (int $attempts)) $pool (and $.numbers (gt (int $attempts) 0))) -}}
{{- end -}}
{{- join "," $pools -}}
{{- end }}

{{/* Where Postgres and NATS are, built-in or not: host:port, separated by commas. */}}
{{- define "taskgrove.postgresHosts" -}}
{{- if .Values.postgres.builtin.enabled -}}{{ include "taskgrove.name" . }}-postgres:5432
{{- else -}}
{{- $hosts := list -}}
{{- range splitList "," .Values.postgres.host -}}
{{- $hosts = append $hosts (ternary (trim .) (printf "%s:%d" (trim .) (int $.Values.postgres.port)) (regexMatch "[^:]:[0-9]+$" .)) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end -}}
{{- end }}

{{/* A text as a part of a URL. */}}
{{- define "taskgrove.urlPart" -}}{{ urlquery . | replace "+" "%20" }}{{- end }}

{{- define "taskgrove.natsServers" -}}
{{- if .Values.nats.builtin.enabled -}}
{{- $name := include "taskgrove.name" . -}}
{{- range $i := until (int .Values.nats.builtin.replicas) }}{{ if $i }},{{ end }}{{ $name }}-nats-{{ $i }}.{{ $name }}-nats.{{ $.Release.Namespace }}.svc:4222{{ end -}}
{{- else -}}{{ join "," .Values.nats.servers -}}
{{- end -}}
{{- end }}

{{- define "taskgrove.postgresSecret" -}}
{{- .Values.postgres.existingSecret | default (ternary (printf "%s-postgres" (include "taskgrove.name" .)) "" .Values.postgres.builtin.enabled) -}}
{{- end }}

{{/* The Secret by which a process logs in to NATS. Takes {root, group, secret}; without group, the coordinators', which no worker gets. */}}
{{- define "taskgrove.natsSecret" -}}
{{- $name := include "taskgrove.name" .root -}}
{{- $nats := .root.Values.nats -}}
{{- if eq $nats.auth "accounts" -}}
{{- ternary (printf "%s-nats-group-%s" $name .group) (printf "%s-nats-coordinator" $name) (not (empty .group)) -}}
{{- else if and (eq $nats.auth "user") $nats.builtin.enabled -}}{{ $name }}-nats-user
{{- else -}}{{ ternary .secret $nats.existingSecret (not (empty .group)) -}}
{{- end -}}
{{- end }}

{{/* The Secret of a component's certificate. Takes {root, component}. */}}
{{- define "taskgrove.tlsSecret" -}}
{{- ternary (printf "%s-%s-tls" (include "taskgrove.name" .root) .component) (get .root.Values.tls.secrets .component) .root.Values.tls.certManager.enabled -}}
{{- end }}

{{- define "taskgrove.coordinatorAccount" -}}
{{- with .Values.coordinator.serviceAccount -}}
{{- .name | default (ternary (include "taskgrove.name" $) "default" .create) -}}
{{- end -}}
{{- end }}

{{/* Names under which clients reach the HTTP listener: those of the Service, and those of Ingress and routes. */}}
{{- define "taskgrove.httpHosts" -}}
{{- $name := include "taskgrove.name" . -}}
{{- $full := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $full (printf "%s.svc" $full) (printf "%s.svc.%s" $full .Values.clusterDomain) -}}
{{- if .Values.ingress.http.enabled }}{{ $hosts = concat $hosts .Values.ingress.http.hosts }}{{ end -}}
{{- if .Values.gateway.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.gateway.httpRoute.hostnames }}{{ end -}}
{{- with get (merge (dict) .Values.coordinator.settings .Values.settings) "HTTP_HOSTS" }}{{ $hosts = concat $hosts (splitList "," (include "taskgrove.text" .)) }}{{ end -}}
{{- join "," (uniq $hosts) -}}
{{- end }}
