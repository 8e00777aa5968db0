# AppRole with its ids in files, which are read at the login.
echo "$VAULT_ROLE_ID" >role-id
echo "$VAULT_SECRET_ID" >secret-id
unset VAULT_ROLE_ID VAULT_SECRET_ID
exits 0 leasehold get vault://secret/db#password --role-id-file role-id --secret-id-file secret-id
answers_just canary-one
exits 0 sh -c 'cat secret-id | leasehold get vault://secret/db#password --role-id-file role-id --secret-id-file -'
answers_just canary-one

# A wrapped secret id, from where it should be and from elsewhere.
admin write -wrap-ttl=60s -f -field=wrapping_token auth/approle/role/app/secret-id >wrapped
exits 3 leasehold get vault://secret/db#password --role-id-file role-id --secret-id-file wrapped --secret-id-wrapped-at auth/approle/role/other/secret-id
says 'was wrapped at auth/approle/role/app/secret-id'
exits 0 leasehold get vault://secret/db#password --role-id-file role-id --secret-id-file wrapped --secret-id-wrapped-at auth/approle/role/app/secret-id
answers_just canary-one
exits 3 leasehold get vault://secret/db#password --role-id-file role-id --secret-id-file wrapped --secret-id-wrapped-at auth/approle/role/app/secret-id

# Name and password, at a mount of another name.
admin auth enable -path=people userpass >/dev/null
admin write auth/people/users/ann password=canary-ann policies=app >/dev/null
echo canary-ann >password
exits 0 leasehold get vault://secret/db#password --auth userpass --auth-mount people --username ann --password-file password
answers_just canary-one
echo wrong >password
exits 3 leasehold get vault://secret/db#password --auth userpass --auth-mount people --username ann --password-file password
! grep -q canary-ann "$HOME/said" || die 'the password was said'

# What is missing is said.
exits 3 leasehold get vault://secret/db#password --auth approle
says 'role id'
exits 3 leasehold get vault://secret/db#password --auth kubernetes
says 'role'
nothing_left
