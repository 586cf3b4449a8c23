# The shared pair is due: one is issued, and every other node gets a copy of it.
rsa_keys
spec copies
front $SOON_ENDS
