# Documented in cidx_files.yml; the work is done by the action plugin and cidx-helper.
