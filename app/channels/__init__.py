"""Channels: each sends messages of the outbox one way. One file is one channel, found by ``app.channels.registry``."""
