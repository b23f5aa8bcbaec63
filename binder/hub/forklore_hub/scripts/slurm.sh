#!/bin/bash
#SBATCH --job-name=forklore-lab
#SBATCH --output={{homedir}}/{{state_folder}}/job-%j.log
#SBATCH --chdir={{homedir}}
#SBATCH --export=NONE
#SBATCH --no-requeue
#SBATCH --nodes={{nodes}} --ntasks-per-node=1
#SBATCH --cpus-per-task={{cores}}
#SBATCH --mem-per-cpu={{memory_gb}}G
#SBATCH --time={{run_time}}
{% if project %}#SBATCH --account={{project}}
{% endif %}{% if queue %}#SBATCH --partition={{queue}}
{% endif %}{% if options %}#SBATCH {{options}}
{% endif %}
{{session}}
