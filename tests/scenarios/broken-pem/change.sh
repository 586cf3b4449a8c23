# A paste that lost a line, and a certificate in the place of a key.
sed -i '10d' cp-1/$PKI/apiserver.crt
cat cp-2/$PKI/apiserver.crt >cp-2/$PKI/apiserver.key
echo 'see the wiki' >cp-3/$PKI/apiserver.crt
