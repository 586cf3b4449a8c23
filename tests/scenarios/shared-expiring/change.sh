# The shared pair is due: one is issued, and every other node gets a copy of it.
front $SOON_ENDS
