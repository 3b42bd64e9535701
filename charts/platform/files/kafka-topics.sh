#!/bin/sh
# Makes the topics of the values, NAME PARTITIONS [SETTING=VALUE…] a line, that are not there yet. What is there stays.
set -eu
topics() { java -XX:MaxRAMPercentage=50 -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xlog:disable -cp '/opt/kafka/libs/*' \
    org.apache.kafka.tools.TopicCommand --bootstrap-server "$KAFKA" "$@" </dev/null; }
while read -r name partitions settings; do
    set --
    for setting in $settings; do set -- "$@" --config "$setting"; done
    topics --create --if-not-exists --topic "$name" --partitions "$partitions" --replication-factor 1 "$@"
    echo "topic $name"
done </etc/kafka/topics
