// Package protocol tries the way between Ansible and the helper with a real
// ansible-playbook: the delivery of the binary, jobs and their followers, check
// mode, secrets, and the order in which the playbooks call the modules.
//
// The first part uses a helper with one harmless module (cidx_trial), the
// second one a shell script in the helper's place that notes every call. The
// ansible-playbook on the PATH is used; put another one first to try it.
package protocol
