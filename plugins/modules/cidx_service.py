# Documented in cidx_service.yml; the work is done by the action plugin and cidx-helper.
