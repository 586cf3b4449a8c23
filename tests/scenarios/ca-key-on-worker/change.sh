# Somebody copied the whole folder to a worker.
spec worker
add_worker w-1
cp -p cp-1/$PKI/ca.key w-1/$PKI/ca.key
