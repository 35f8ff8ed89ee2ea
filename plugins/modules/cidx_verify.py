# Documented in cidx_verify.yml; the work is done by the action plugin and cidx-helper.
