"""What people decide from: the queue, the notifiers' reliability, decisions about many violations."""
