// Package accounts tells the names of users and groups by their numbers, as this machine has them.
//
//	/etc/passwd, /etc/group ─► what they do not have ─► getent, if /etc/nsswitch.conf names more than files
//
// It is the same whether the program is linked with C or not: what only a module of the C library knows (LDAP, sssd,
// systemd) is asked of getent, the program of the C library for that. getent gets the name of a database and a number,
// and an environment of its own.
package accounts
