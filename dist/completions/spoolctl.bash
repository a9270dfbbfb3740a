# Completion of spoolctl(8) for bash, sourced by the package bash-completion: commands,
# and the queue IDs that "spoolctl list" shows to the caller.

_spoolctl() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
	local command="" configuration=() i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-C)
			i=$((i + 1))
			configuration=(-C "${COMP_WORDS[i]}")
			;;
		list | show | retry | remove) command=${COMP_WORDS[i]} ;;
		esac
	done
	COMPREPLY=()
	if [[ $previous == -C ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	elif [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-C list show retry remove' -- "$word")
	elif [[ $previous == "$command" && $command != list ]]; then
		local ids
		ids=$(spoolctl "${configuration[@]}" list 2>/dev/null | grep -oE '^[0-9a-z]{12}')
		[[ $command != retry ]] || ids+=' all'
		mapfile -t COMPREPLY < <(compgen -W "$ids" -- "$word")
	fi
}
complete -o filenames -F _spoolctl spoolctl
