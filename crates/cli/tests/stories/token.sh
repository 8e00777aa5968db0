# The four steps of the verification workflow.
# 1. A short-lived token.
export VAULT_TOKEN="$ROOT_TOKEN"
unset VAULT_ROLE_ID VAULT_SECRET_ID
token=$(leasehold token create --ttl 1h --policy app --display-name demo --meta team=a)
# 2. A secret is read with it.
exits 0 env VAULT_TOKEN="$token" leasehold get vault://secret/db#password
answers_just canary-one
# 3. It is renewed before it ends.
exits 0 env VAULT_TOKEN="$token" leasehold token renew --increment 30m
answers 'renewed for 1800 s'
exits 0 env VAULT_TOKEN="$token" leasehold token lookup
answers 'token-demo'
# 4. It is revoked when it is done with.
exits 0 env VAULT_TOKEN="$token" leasehold token revoke
answers_just revoked
exits 3 env VAULT_TOKEN="$token" leasehold get vault://secret/db#password

# A token from standard input, and by its accessor.
token=$(leasehold token create --ttl 1h --policy app)
accessor=$(echo "$token" | leasehold token lookup - --json | sed -n 's/.*"accessor": "\(.*\)".*/\1/p')
exits 0 leasehold token lookup --accessor "$accessor" --json
answers '"policies"'
exits 0 leasehold token revoke --accessor "$accessor"
! echo "$token" | leasehold token lookup - 2>/dev/null || die 'it should be dead'

# A token is no argument.
exits 2 leasehold token lookup s.a-token
exits 0 leasehold token create --batch --policy app --ttl 5m --json
answers '"renewable": false'
unset VAULT_TOKEN

# A token that is made by a login would end with it.
export VAULT_ROLE_ID=x VAULT_SECRET_ID=y
exits 2 leasehold token create
says 'ends with the login'
