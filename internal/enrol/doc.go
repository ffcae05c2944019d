// Package enrol makes a machine one that can be pulled from, and tries afterwards what the key of the pull can do there.
//
// Install is a list of steps, each a short shell script that can be read before it runs: a user of its own, the program
// with no more rights than it needs, a policy that belongs to root, and a line in authorized_keys that allows one command.
// Audit then logs in with the key of the pull and tries what an attacker would: a shell, a file to write, a port to
// forward, a folder outside of the policy.
package enrol
