# One API server certificate was overlooked.
reissue cp-2/$PKI/apiserver cp-2/$PKI/ca 20251121000000Z 20261121000000Z
