# A file is in a private folder, for this user alone, and gone at the end.
exits 0 leasehold run --file db/password=vault://secret/db#password -- sh -c '
    stat -c %a "$LEASEHOLD_FILES" "$LEASEHOLD_FILES"/*password; cat "$LEASEHOLD_FILES"/*password; echo; echo "$LEASEHOLD_FILES"'
[ "$(sed -n 1,2p "$HOME/answered" | tr '\n' ' ')" = '700 600 ' ] || die 'others can look into it'
answers canary-one
[ ! -e "$(tail -n 1 "$HOME/answered")" ] || die 'the folder is left'

# At an absolute path, a link.
exits 0 leasehold run --file "$PWD/password=vault://secret/db#password" -- cat password
answers_just canary-one
[ ! -e password ] || die 'the link is left'

# All fields as JSON.
exits 0 leasehold run --file db.json=vault://secret/db -- sh -c 'cat "$LEASEHOLD_FILES/db.json"'
answers_just '{"password":"canary-one","username":"app"}'

# A file that is there already is not overwritten.
echo mine >password
exits 125 leasehold run --file "$PWD/password=vault://secret/db#password" -- true
says 'is not overwritten'
[ "$(cat password)" = mine ] || die 'it was overwritten'
nothing_left
