"""The commands of ``duban``, grouped; each module has ``register(app)``."""
