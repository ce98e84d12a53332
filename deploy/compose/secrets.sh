#!/bin/sh
# Makes the database's password and its address with it, once, in the folder that is given.
# Files are for everybody who has the folder: the containers that mount it, and nobody else.
set -eu
umask 022
cd "$1"
[ -s database_url ] && exit 0
password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
printf %s "$password" >postgres_password
printf 'postgresql://penstock:%s@postgres:5432/penstock' "$password" >database_url.new
mv database_url.new database_url
