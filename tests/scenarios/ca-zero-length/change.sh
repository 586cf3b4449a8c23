# A full disk, or a `>` in the wrong place.
: >cp-2/$PKI/ca.crt
