# A secret to a pipe.
exits 0 leasehold get vault://secret/db#password
answers_just canary-one
[ "$(leasehold get -n vault://secret/db#password | wc -c)" = 10 ] || die 'a line end too many'
exits 0 leasehold get --json vault://secret/db
answers_just '{"password":"canary-one","username":"app"}'
exits 2 leasehold get vault://secret/db
says 'its fields are: password, username'
exits 5 leasehold get vault://secret/db#nope
exits 4 leasehold get vault://secret/other#x
exits 2 leasehold get vault:/secret
exits 0 leasehold get env://HOME
answers_just "$HOME"
nothing_left

# On a terminal it is shown only when that is asked for.
exits 2 script -qec 'leasehold get vault://secret/db#password' /dev/null
! grep -q canary-one "$HOME/answered" || die 'it was shown'
grep -q -- '--reveal' "$HOME/answered" || die 'no hint'
exits 0 script -qec 'leasehold get --reveal vault://secret/db#password' /dev/null
answers canary-one
nothing_left
