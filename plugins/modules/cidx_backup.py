# Documented in cidx_backup.yml; the work is done by the action plugin and cidx-helper.
