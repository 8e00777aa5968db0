# Without a reference to the server, there is no login and no server is needed.
unset VAULT_ADDR VAULT_ROLE_ID VAULT_SECRET_ID
exits 0 leasehold run --env A=env://HOME -- sh -c 'echo "$A"'
answers_just "$HOME"
exits 7 leasehold run -- sh -c 'exit 7'
exits 0 leasehold --help
answers 'Examples:'
exits 0 leasehold run --help
answers '--on-change'
exits 0 leasehold completions bash
answers '_leasehold'
mkdir man
exits 0 leasehold man man
[ -s man/leasehold-run.1 ] || die 'no manual page'
exits 0 leasehold --version
