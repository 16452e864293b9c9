"""Where entries come from in numbers: files, Kafka, NATS."""
