/* SPDX-License-Identifier: MIT
 *
 * See train_audit.h.
 */
#include "train_audit.h"

#include "app.h"

#include <stdlib.h>
#include <unistd.h>

int train_audit(struct audit *a, nn_dataset *d, int64_t walked, int threads, double seconds)
{
    int count[AUDIT_ERROR + 1] = { 0 }, rc;

    if (threads < 1)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct audit){ .data = d, .walked = walked, .until = app_seconds() + seconds };
    rc = audit_scan(a, threads);
    if (!rc && a->late) {
        app_say(
            "audit of the files: given up, because reading them again takes longer than %g s; fakereal_audit "
            "has no such limit",
            seconds);
        audit_free(a);
        return APP_OK;
    }
    if (!rc)
        rc = audit_judge(a, threads);
    if (rc)
        return rc;
    for (int i = 0; i < a->findings; i++) {
        const struct audit_finding *f = &a->finding[i];

        count[f->severity]++;
        if (f->severity >= AUDIT_WARNING)
            app_say("audit: %s: %s: %s; remedy: %s", audit_severity(f->severity), f->name, f->text,
                    f->remedy);
    }
    app_say("audit of the files, not of the pictures: %s, %s, %s (docs/audit.md)",
            app_count(count[AUDIT_ERROR], "error"), app_count(count[AUDIT_WARNING], "warning"),
            app_count(count[AUDIT_NOTE], "note"));
    return APP_OK;
}

int train_audit_keep(const struct audit *a, const char *folder)
{
    struct audit_group group[NN_SPLITS * NN_LABELS];
    int groups = audit_groups(a, group), rc;
    char *path = app_join(folder, "audit.json"), *text = groups < 0 ? NULL : audit_json(a, group, groups);

    rc = text && path ? app_write_file(path, text) : app_fail(APP_DEVICE, "out of memory");
    free(text);
    free(path);
    return rc;
}
