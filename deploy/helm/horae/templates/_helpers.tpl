{{/* Names and labels. */}}
{{- define "horae.name" -}}
{{- if contains "horae" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-horae" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "horae.selector" -}}
app.kubernetes.io/name: horae
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "horae.labels" -}}
{{ include "horae.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "horae.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "horae.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end }}

{{- define "horae.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{/* A key of the Secret that exists. Takes: Values, key, optional. */}}
{{- define "horae.secret" -}}
- name: {{ .key }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/* The settings that every process gets. Inline, because the migration runs before the release's objects exist. */}}
{{- define "horae.env" -}}
- name: HORAE_PROFILE
  value: stack
{{ include "horae.secret" (dict "Values" .Values "key" "HORAE_DSN") }}
{{ include "horae.secret" (dict "Values" .Values "key" "ENCRYPTION_KEY") }}
- name: KAFKA_BROKERS
  value: {{ .Values.kafka.brokers | quote }}
{{- with .Values.kafka }}
{{- if and .tls.secretName (not (hasSuffix "SSL" .security)) }}
{{- fail (printf "kafka.tls.secretName is set, which kafka.security %s does not use: give SSL or SASL_SSL" .security) }}
{{- end }}
{{- if ne .security "PLAINTEXT" }}
- name: HORAE_KAFKA_SECURITY
  value: {{ .security | quote }}
{{- end }}
{{- if hasPrefix "SASL" .security }}
- name: HORAE_KAFKA_SASL_MECHANISM
  value: {{ .saslMechanism | quote }}
{{ include "horae.secret" (dict "Values" $.Values "key" "HORAE_KAFKA_USERNAME") }}
{{ include "horae.secret" (dict "Values" $.Values "key" "HORAE_KAFKA_PASSWORD") }}
{{- end }}
{{- if .tls.secretName }}
- name: HORAE_KAFKA_CA_FILE
  value: /etc/horae/kafka/ca.crt
{{- if .tls.clientCertificate }}
- name: HORAE_KAFKA_CERTIFICATE_FILE
  value: /etc/horae/kafka/tls.crt
- name: HORAE_KAFKA_KEY_FILE
  value: /etc/horae/kafka/tls.key
{{- end }}
{{- end }}
{{- end }}
- name: HORAE_KAFKA_PARTITIONS
  value: {{ .Values.kafka.partitions | quote }}
- name: HORAE_KAFKA_REPLICATION
  value: {{ .Values.kafka.replication | quote }}
- name: HORAE_KAFKA_MIN_IN_SYNC
  value: {{ .Values.kafka.minInSync | quote }}
{{- with .Values.elasticsearch.url }}
- name: ELASTICSEARCH_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.tracing.endpoint }}
- name: JAEGER_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* What the "restricted" pod security standard asks for. */}}
{{- define "horae.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "horae.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "horae.mounts" -}}
- {name: run, mountPath: /run/horae}
- {name: data, mountPath: /var/lib/horae}
- {name: tmp, mountPath: /tmp}
{{- if .Values.kafka.tls.secretName }}
- {name: kafka-tls, mountPath: /etc/horae/kafka, readOnly: true}
{{- end }}
{{- end }}

{{- define "horae.volumes" -}}
- {name: run, emptyDir: {sizeLimit: 1Mi}}
- {name: data, emptyDir: {sizeLimit: 1Gi}}
- {name: tmp, emptyDir: {sizeLimit: 1Gi}}
{{- with .Values.kafka.tls.secretName }}
- {name: kafka-tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{/* Where pods may and should run. Takes the root and the component. */}}
{{- define "horae.placement" -}}
{{- $root := .root -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "horae.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
    # Counted per version, so that a roll does not end lopsided.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* A Deployment. Takes: root, component. Its number of pods is the autoscaler's where there is one. */}}
{{- define "horae.deployment" -}}
{{- $root := .root -}}
{{- $part := index $root.Values .component -}}
{{- $scaled := and $part.autoscaling $part.autoscaling.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "horae.name" $root }}-{{ .component }}
  labels:
    {{- include "horae.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if not $scaled }}
  replicas: {{ $part.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # A new pod works before an old one goes; one at a time, because for workers each change moves partitions.
  minReadySeconds: {{ ternary 0 10 (eq .component "api") }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "horae.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "horae.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "horae.serviceAccount" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $part.terminationGracePeriodSeconds }}
      securityContext:
        {{- include "horae.podSecurity" $root | nindent 8 }}
      {{- include "horae.placement" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "horae.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [{{ .component }}]
          securityContext:
            {{- include "horae.containerSecurity" $root | nindent 12 }}
          env:
            {{- include "horae.env" $root | nindent 12 }}
            {{- if eq .component "api" }}
            {{- include "horae.secret" (dict "Values" $root.Values "key" "HORAE_API_DSN") | nindent 12 }}
            {{- end }}
          {{- if eq .component "api" }}
          ports:
            - {name: http, containerPort: 8080}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: {{ $part.readinessPath | quote }}, port: http}
            periodSeconds: 5
            timeoutSeconds: 4
            failureThreshold: 2
          lifecycle:
            preStop:
              sleep: {seconds: {{ $part.preStopSeconds }}}
          {{- else }}
          # No port to ask: the process touches a file as long as its loop turns. One that makes no progress ends itself.
          startupProbe:
            exec: {command: [python, -m, horae.infra.alive]}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 60
          livenessProbe:
            exec: {command: [python, -m, horae.infra.alive]}
            periodSeconds: 15
            timeoutSeconds: 10
            failureThreshold: 3
          {{- end }}
          resources:
            {{- toYaml $part.resources | nindent 12 }}
          volumeMounts:
            {{- include "horae.mounts" $root | nindent 12 }}
      volumes:
        {{- include "horae.volumes" $root | nindent 8 }}
{{- end }}
