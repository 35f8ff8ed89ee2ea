# Documented in cidx_precheck.yml; the work is done by the action plugin and cidx-helper.
