#!/bin/bash
#$ -S /bin/bash
#$ -N forklore-lab
#$ -j yes
#$ -o {{homedir}}/{{state_folder}}/job-$JOB_ID.log
#$ -r no
#$ -pe {% if nodes > 1 %}{{nodes_pe | replace('{cores}', cores | string)}} {{nodes * cores}}{% else %}smp {{cores}}{% endif %}
#$ -l rmem={{memory_gb}}G,h_rt={{run_time}}
{% if project %}#$ -P {{project}}
{% endif %}{% if queue %}#$ -q {{queue}}
{% endif %}{% if options %}#$ {{options}}
{% endif %}
# Grid Engine tells a job its slots (NSLOTS) but not its memory. The kernel reads this one.
export SGE_HGR_rmem={{memory_gb}}G
{{session}}
