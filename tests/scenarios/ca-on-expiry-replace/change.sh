# The spec wishes that the CAs of the cluster and of its front proxy are replaced when they end, which this version does not do.
