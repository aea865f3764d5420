/* Loaded before the C library into the process that is recorded: writes down whatever it does to the files of one folder, in order, and does it.
 *
 * A record is: one byte for what was done, one for the length of the name, the offset and the length of the data (8 bytes each, as the machine
 * has them), the name, the data. The folder itself has the name ".".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
#define LONGEST 63

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static int journal = -1;
/* The name of each open file that is recorded. */
static char names[FILES][LONGEST + 1];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RECORDER_JOURNAL");
    folder = getenv("RECORDER_FOLDER");
    if (folder != NULL && path != NULL)
        journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void record(char what, const char *name, uint64_t offset, const void *data, uint64_t length) {
    uint8_t kind[2] = {(uint8_t)what, (uint8_t)strlen(name)};
    struct iovec parts[5] = {
        {kind, 2}, {&offset, 8}, {&length, 8}, {(void *)name, kind[1]}, {(void *)data, data == NULL ? 0 : length},
    };
    size_t wanted = 18 + kind[1] + parts[4].iov_len;
    if (syscall(SYS_writev, journal, parts, 5) != (long)wanted)
        abort();
}

/* What a path is called in the journal; NULL where it is not recorded. What only the living share is not. */
static const char *name_of(const char *path) {
    if (journal < 0 || path == NULL)
        return NULL;
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0)
        return NULL;
    if (path[length] == '\0')
        return ".";
    if (path[length] != '/')
        return NULL;
    const char *name = path + length + 1;
    size_t rest = strlen(name);
    if (rest == 0 || rest > LONGEST || (rest > 4 && strcmp(name + rest - 4, "-shm") == 0)
        || (rest > 5 && strcmp(name + rest - 5, ".lock") == 0))
        return NULL;
    return name;
}

static const char *recorded(int file) {
    return journal >= 0 && file >= 0 && file < FILES && names[file][0] != '\0' ? names[file] : NULL;
}

static int open_at(const char *path, int flags, mode_t mode) {
    const char *name = name_of(path);
    if (name == NULL)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) != 0 && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (file >= FILES)
        abort();
    if (file >= 0) {
        strcpy(names[file], name);
        if (is_new)
            record('c', name, 0, NULL, 0);
        else if ((flags & O_TRUNC) != 0)
            record('t', name, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return file;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_at(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_at(path, flags | O_LARGEFILE, mode);
}

int close(int file) {
    pthread_mutex_lock(&lock);
    if (file >= 0 && file < FILES)
        names[file][0] = '\0';
    int result = (int)syscall(SYS_close, file);
    pthread_mutex_unlock(&lock);
    return result;
}

static ssize_t write_at(int file, const void *data, size_t length, off_t offset) {
    if (recorded(file) == NULL)
        return syscall(SYS_pwrite64, file, data, length, offset);
    pthread_mutex_lock(&lock);
    ssize_t written = syscall(SYS_pwrite64, file, data, length, offset);
    if (written > 0)
        record('w', names[file], (uint64_t)offset, data, (uint64_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset) { return write_at(file, data, length, offset); }

ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) { return write_at(file, data, length, offset); }

ssize_t write(int file, const void *data, size_t length) {
    if (recorded(file) == NULL)
        return syscall(SYS_write, file, data, length);
    pthread_mutex_lock(&lock);
    off_t offset = (off_t)syscall(SYS_lseek, file, 0, SEEK_CUR);
    ssize_t written = syscall(SYS_write, file, data, length);
    if (written > 0)
        record('w', names[file], (uint64_t)offset, data, (uint64_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

static int sync_with(long call, int file) {
    if (recorded(file) == NULL)
        return (int)syscall(call, file);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(call, file);
    if (result == 0)
        record('s', names[file], 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int file) { return sync_with(SYS_fsync, file); }

int fdatasync(int file) { return sync_with(SYS_fdatasync, file); }

static int cut(int file, off_t length) {
    if (recorded(file) == NULL)
        return (int)syscall(SYS_ftruncate, file, length);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, file, length);
    if (result == 0)
        record('t', names[file], (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int file, off_t length) { return cut(file, length); }

int ftruncate64(int file, off64_t length) { return cut(file, length); }

int unlink(const char *path) {
    const char *name = name_of(path);
    if (name == NULL)
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (result == 0)
        record('u', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
