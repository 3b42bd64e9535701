#!/bin/sh
# Starts Kafka as one KRaft node, with the jars of apache/kafka or of k8s/images/kafka, on a volume that it formats once.
set -eu
java() { exec java -XX:MaxRAMPercentage=50 -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
    -Dlog4j2.configurationFile=/etc/kafka/log4j2.properties -cp '/opt/kafka/libs/*' "$@"; }
if [ ! -f /data/kafka/meta.properties ]; then
    # Half formatted by a run that was killed: nothing is in it yet.
    rm -rf /data/kafka
    (java kafka.tools.StorageTool format --standalone --cluster-id trifold-platform-kafka --config /etc/kafka/server.properties)
fi
java kafka.Kafka /etc/kafka/server.properties
