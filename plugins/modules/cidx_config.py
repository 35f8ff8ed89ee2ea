# Documented in cidx_config.yml; the work is done by the action plugin and cidx-helper.
