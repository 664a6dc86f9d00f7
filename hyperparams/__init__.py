"""
Hyper-parameters for rl-zoo3, one YAML file an algorithm, one entry an environment and extractor.

In a checkout: ``-conf hyperparams/ppo.yml``. After ``pip install``, by name: ``-conf sb3_efficient.hyperparams.ppo``
for the entries of a file, ``-conf sb3_efficient.hyperparams.ppo.impala`` for those of one extractor, and
``-conf sb3_efficient.hyperparams.ppo.fast`` for those recommended for speed. Where rl_zoo3
is not adapted (``SB3_EFFICIENT_AUTOLOAD=0``) the names give the same entries in the words of stock rl_zoo3.
"""

from sb3_efficient.zoo.conf import add_modules

add_modules(__name__)
